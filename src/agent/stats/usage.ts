/** What is measured of kernels and of the node: plain counters and amounts, before any arithmetic. */

/** One look at a kernel. null: this host can't tell, so nothing is reported for it. */
export interface KernelUsage {
  /** CPU time used since the kernel started. Milliseconds. */
  readonly cpuUsedMs: number | null;
  readonly memoryBytes: number | null;
  /** null: not limited, so the node's memory is what there is. */
  readonly memoryLimitBytes: number | null;
  /** Since the kernel started. Bytes. */
  readonly ioReadBytes: number | null;
  readonly ioWriteBytes: number | null;
  /** Through the kernel's own network, since it started. Bytes. */
  readonly netRxBytes: number | null;
  readonly netTxBytes: number | null;
  /** Size of what is below /home/work. Bytes. */
  readonly scratchBytes: number | null;
}

export interface DiskUsage {
  readonly mountPoint: string;
  readonly usedBytes: number;
  readonly totalBytes: number;
}

/** One look at the node. */
export interface NodeUsage {
  /** User and system time of each CPU since boot. Milliseconds. */
  readonly cpuUsedMs: readonly number[];
  readonly memoryUsedBytes: number;
  readonly memoryTotalBytes: number;
  readonly disks: readonly DiskUsage[];
  /** Through all interfaces but the loopback, since boot. Bytes. */
  readonly netRxBytes: number;
  readonly netTxBytes: number;
}
