// What other threads tell the decode thread arrives whole and in order, and a
// cancellation aborts what serves nobody else.
#include "engine/mailbox.h"

#include "check.h"
#include "platform/errors.h"

#include <memory>
#include <thread>

using paddler::Commands;
using paddler::Failure;
using paddler::Mailbox;
using paddler::Request;

namespace {

std::unique_ptr<Request> request_of(uint64_t id) {
    auto request = std::make_unique<Request>();
    request->id = id;
    return request;
}

void test_commands_are_taken_once_and_in_order() {
    Mailbox mailbox;
    mailbox.submit(request_of(1));
    mailbox.cancel(7);
    mailbox.submit(request_of(2));
    CHECK(mailbox.n_submitted() == 2);
    const Commands commands = mailbox.take();
    CHECK(commands.submitted.size() == 2);
    CHECK(commands.submitted[0]->id == 1 && commands.submitted[1]->id == 2);
    CHECK(commands.cancelled == std::vector<uint64_t>{7});
    CHECK(mailbox.n_submitted() == 0);
    CHECK(mailbox.take().submitted.empty());
}

void test_an_idle_thread_waits_for_commands() {
    Mailbox mailbox;
    CHECK(mailbox.wait(true)); // at once
    std::thread submitter([&] { mailbox.submit(request_of(1)); });
    CHECK(mailbox.wait(false));
    CHECK(mailbox.take().submitted.size() == 1);
    submitter.join();
    std::thread canceller([&] { mailbox.cancel(1); });
    CHECK(mailbox.wait(false));
    canceller.join();
}

void test_a_closed_mailbox_takes_nothing_and_aborts_for_good() {
    Mailbox mailbox;
    std::thread closer([&] { mailbox.close(); });
    CHECK(!mailbox.wait(false));
    closer.join();
    CHECK(!mailbox.wait(true));
    CHECK(mailbox.abort());
    mailbox.take();
    CHECK(mailbox.abort());
    mailbox.let_abort(1);
    CHECK(mailbox.abort());
    try {
        mailbox.submit(request_of(1));
        CHECK(!"it was taken");
    } catch (const Failure &failure) {
        CHECK(failure.status() == PDL_CLOSED);
    }
}

void test_a_cancellation_aborts_what_serves_that_request_alone() {
    Mailbox mailbox;
    mailbox.cancel(1);
    CHECK(!mailbox.abort());
    mailbox.take();
    mailbox.let_abort(1);
    CHECK(!mailbox.abort());
    mailbox.cancel(2);
    CHECK(!mailbox.abort());
    mailbox.cancel(1);
    CHECK(mailbox.abort());
    mailbox.take();
    CHECK(!mailbox.abort());
    mailbox.cancel(1); // it is computed together with others now
    CHECK(!mailbox.abort());
}

void test_a_cancellation_before_the_computation_aborts_it() {
    Mailbox mailbox;
    mailbox.take();
    mailbox.cancel(1);
    mailbox.let_abort(2);
    CHECK(!mailbox.abort());
    mailbox.let_abort(1);
    CHECK(mailbox.abort());
}

} // namespace

int main() {
    test_commands_are_taken_once_and_in_order();
    test_an_idle_thread_waits_for_commands();
    test_a_closed_mailbox_takes_nothing_and_aborts_for_good();
    test_a_cancellation_aborts_what_serves_that_request_alone();
    test_a_cancellation_before_the_computation_aborts_it();
    return 0;
}
