import type { Download } from "../api/messages";
import { Progress } from "../ui/bar";
import { bytes, percent } from "../ui/format";
import * as styles from "./download-progress.module.css";

/** A load reports hundredths or thousandths; only a real download has bytes worth naming. */
const SMALLEST_DOWNLOAD_BYTES = 100_000;

export function DownloadProgress({ download }: { download: Download | null }) {
  if (download === null) return null;
  const known = !download.indeterminate && download.total_bytes > 0;
  const share = known ? download.current_bytes / download.total_bytes : null;
  const isDownload = download.total_bytes > SMALLEST_DOWNLOAD_BYTES;
  return (
    <div class={styles.progress}>
      <p>
        <span class={styles.name}>{download.filename}</span>
        <span>
          {share === null ? "in progress" : percent(share)}
          {known && isDownload ? ` of ${bytes(download.total_bytes)}` : ""}
        </span>
      </p>
      <Progress label={`Progress of ${download.filename}`} value={share} max={1} />
    </div>
  );
}
