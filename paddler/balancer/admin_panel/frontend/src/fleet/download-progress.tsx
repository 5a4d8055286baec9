import type { Download } from "../api/messages";
import { bytes, percent } from "../ui/format";

/** A load reports hundredths or thousandths; only a real download has bytes worth naming. */
const SMALLEST_DOWNLOAD_BYTES = 100_000;

export function DownloadProgress({ download }: { download: Download | null }) {
  if (download === null) return null;
  const known = !download.indeterminate && download.total_bytes > 0;
  const share = known ? download.current_bytes / download.total_bytes : 0;
  const isDownload = download.total_bytes > SMALLEST_DOWNLOAD_BYTES;
  return (
    <div class="progress">
      <p>
        <span class="progress-name">{download.filename}</span>
        <span>
          {known ? percent(share) : "in progress"}
          {known && isDownload ? ` of ${bytes(download.total_bytes)}` : ""}
        </span>
      </p>
      <progress
        aria-label={`Progress of ${download.filename}`}
        {...(known ? { value: share, max: 1 } : {})}
      />
    </div>
  );
}
