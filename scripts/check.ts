/**
 * `bun run check`: formatting, lint, types, dead code, generated code, the contract with clients,
 * import direction. All run; any may fail it.
 */

const CHECKS: [name: string, command: string[]][] = [
  ['format and lint', ['biome', 'check', '--error-on-warnings', '.']],
  ['types', ['tsc', '--noEmit', '-p', '.']],
  ['dead code', [process.execPath, '--bun', 'node_modules/.bin/knip', '--no-config-hints']],
  ['GraphQL types', [process.execPath, 'scripts/generate-graphql.ts', '--check']],
  ["clients' contract", [process.execPath, 'scripts/contract.ts']],
  ['import direction', [process.execPath, 'scripts/check-imports.ts']],
];

let failed = 0;
for (const [name, command] of CHECKS) {
  const startedMs = performance.now();
  const child = Bun.spawn(command, {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, PATH: `node_modules/.bin:${process.env.PATH}` },
  });
  const [output, complaint, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${exitCode === 0 ? '✓' : '✗'} ${name} (${seconds} s)`);
  if (exitCode !== 0) {
    failed += 1;
    console.log(`${output}${complaint}`);
  }
}
process.exit(failed === 0 ? 0 : 1);

export {};
