/**
 * The shell that starts a kernel and stays beside it: it outlives the agent, keeps the exit code, and
 * passes the output through a log of bounded size.
 */
import type { KernelLayout } from './layout.ts';

/** Bytes and writes after which the log is turned over; two such files are kept. */
const LOG_BLOCK_BYTES = 512;
const LOG_BLOCKS = 10_240;

/**
 * Arguments: the kernel's folder, a data-segment limit in KiB or "", the number of control-group
 * files to join by, these files, the command.
 *
 * `dd` is what every system has that copies a limited amount without holding it back; when the disk
 * is full the output is dropped rather than the kernel stopped.
 */
const SCRIPT = `
cd "$1" || exit 70
read -r stat < /proc/$$/stat || exit 70
printf '%s\\n' "$stat" > pid || exit 70
[ -z "$2" ] || ulimit -d "$2" || exit 71
ulimit -c 0
left=$3
shift 3
while [ "$left" -gt 0 ]; do
  echo 0 > "$1" || exit 72
  shift
  left=$((left - 1))
done
{ "$@" 2>&1 < /dev/null; echo $? > exit.new; mv exit.new exit; } | {
  while dd bs=${LOG_BLOCK_BYTES} count=${LOG_BLOCKS} of=log 2> /dev/null && [ -s log ]; do
    mv log log.1
  done
  exec cat > /dev/null
}
`;

/** The argument vector of the supervising shell. */
export function supervisorCommand(
  layout: KernelLayout,
  options: { dataLimitKiB: number | null; joinFiles: readonly string[] },
  command: readonly string[],
): string[] {
  return [
    '/bin/sh',
    '-c',
    SCRIPT,
    'backend.ai-kernel',
    layout.folder,
    options.dataLimitKiB === null ? '' : String(options.dataLimitKiB),
    String(options.joinFiles.length),
    ...options.joinFiles,
    ...command,
  ];
}

/**
 * Wraps the runner so that it gets the kernel's environment only inside the sandbox. The user's
 * variables (LD_PRELOAD, say) must not reach the programs that build the sandbox.
 */
export const withEnvironmentFile = (path: string, command: readonly string[]): string[] => [
  '/bin/sh',
  '-c',
  '. "$0" && exec "$@"',
  path,
  ...command,
];

/** A shell script that sets exactly these variables. Names that a shell can't hold are left out. */
export function environmentScript(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .filter(([name, value]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !value.includes('\0'))
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join('');
}
