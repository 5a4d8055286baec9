// Encoded images are found again by content, within a bound, oldest use first out.
#include "images/encoded_images.h"

#include "check.h"

using paddler::EncodedImages;

namespace {

constexpr size_t n_floats = 100;
constexpr size_t image_bytes = n_floats * sizeof(float);

paddler::Embeddings embeddings(float value) {
    return std::make_shared<const std::vector<float>>(n_floats, value);
}

void test_images_and_their_parts_are_told_apart() {
    EncodedImages images;
    images.keep(1, 0, embeddings(1.0F));
    images.keep(1, 1, embeddings(2.0F));
    CHECK(images.find(2, 0) == nullptr);
    CHECK(images.find(1, 0)->front() == 1.0F);
    CHECK(images.find(1, 1)->front() == 2.0F);
}

void test_the_one_used_longest_ago_goes_first() {
    EncodedImages images(2 * image_bytes);
    images.keep(1, 0, embeddings(1.0F));
    images.keep(2, 0, embeddings(2.0F));
    CHECK(images.find(1, 0) != nullptr);
    images.keep(3, 0, embeddings(3.0F));
    CHECK(images.find(2, 0) == nullptr);
    CHECK(images.find(1, 0) != nullptr && images.find(3, 0) != nullptr);
    CHECK(images.n_bytes() == 2 * image_bytes);
}

void test_what_does_not_fit_is_not_kept() {
    EncodedImages images(image_bytes / 2);
    const auto kept_elsewhere = embeddings(1.0F);
    images.keep(1, 0, kept_elsewhere);
    CHECK(images.find(1, 0) == nullptr);
    CHECK(images.n_bytes() == 0);
    CHECK(kept_elsewhere->front() == 1.0F);
}

} // namespace

int main() {
    test_images_and_their_parts_are_told_apart();
    test_the_one_used_longest_ago_goes_first();
    test_what_does_not_fit_is_not_kept();
    return 0;
}
