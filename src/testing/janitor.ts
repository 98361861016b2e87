/**
 * Cleans up after a test process that is gone. `bun test` runs no exit handlers, and a test may be
 * killed; a small shell notices either, since its standard input ends.
 */

export interface Janitor {
  /** Nothing is left to clean up. */
  dismiss(): void;
}

/**
 * Waits for a word; without one it ends the process ($1), at first by $3, and removes its folder ($2),
 * where the process may have mounted something ($4).
 */
const SCRIPT = `
if read -r word; then exit 0; fi
[ -z "$4" ] || umount -l "$4"
kill -s "$3" "$1" 2>/dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  kill -0 "$1" 2>/dev/null || break
  sleep 0.2
done
kill -KILL "$1" 2>/dev/null
rm -rf --one-file-system "$2"
`;

/**
 * Ends `pid` and removes `folder` when this process ends without having dismissed the janitor.
 * @param signal by which the process ends at once, with all that belongs to it.
 * @param mount in the folder, of a file system that the process serves.
 */
export function hireJanitor(
  pid: number,
  folder: string,
  signal: 'KILL' | 'QUIT' | 'TERM',
  mount = '',
): Janitor {
  const shell = Bun.spawn(['sh', '-c', SCRIPT, 'janitor', String(pid), folder, signal, mount], {
    stdin: 'pipe',
    stdout: 'ignore',
    stderr: 'ignore',
    // Ctrl-C in the terminal is for the tests.
    detached: true,
  });
  shell.unref();
  return {
    dismiss() {
      shell.stdin.write('done\n');
      shell.stdin.end();
    },
  };
}
