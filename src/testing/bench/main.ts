/** `bun run bench [NAME…]`: prints figures beside a peer or a physical limit of the same run. */
import { bundle } from './executable.ts';

const BENCHES: Record<string, () => Promise<{ run: (executable: string) => Promise<void> }>> = {
  start: () => import('./start.ts'),
  hello: () => import('./hello.ts'),
  docker: () => import('./docker.ts'),
  proxy: () => import('./proxy.ts'),
  storage: () => import('./storage.ts'),
  files: () => import('./files.ts'),
  api: () => import('./api.ts'),
  schedule: () => import('./schedule.ts'),
  churn: () => import('./churn.ts'),
};

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  console.error(
    `Error: no benchmark '${unknown.join(', ')}'; there are ${Object.keys(BENCHES).join(', ')}.`,
  );
  process.exit(2);
}
const executable = await bundle();
for (const name of names.length > 0 ? names : Object.keys(BENCHES)) {
  const bench = await BENCHES[name]?.();
  await bench?.run(executable);
}
