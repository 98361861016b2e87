/** `doctor`: checks what this machine can do and says what to install for what it cannot. */

import { defineCommand } from '../../common/command.ts';
import { printStatus } from '../../common/glyphs.ts';
import { examine, type Finding } from '../doctor.ts';
import { folderOf, placeOptions } from './options.ts';

const KINDS = { ok: 'done', limited: 'warn', missing: 'fail' } as const;

function summary(findings: readonly Finding[]): string {
  const missing = findings.filter(({ state }) => state === 'missing');
  if (missing.length > 0) {
    return `A local cluster will not work here: ${missing.map(({ name }) => name).join(', ')}.`;
  }
  const limited = findings.filter(({ state }) => state === 'limited').length;
  return limited === 0
    ? 'Everything is there.'
    : `A local cluster works here, with ${limited} limitation${limited === 1 ? '' : 's'}.`;
}

export default defineCommand({
  options: placeOptions,
  async run({ options, io, globals }) {
    const findings = await examine(folderOf(options, io), [8090, 8091]);
    const usable = findings.every(({ state }) => state !== 'missing');
    if (globals.output === 'json') {
      io.stdout.write(`${JSON.stringify({ usable, findings }, null, 2)}\n`);
      return usable ? 0 : 1;
    }
    for (const { name, state, detail, remedy } of findings) {
      const advice = remedy === undefined ? '' : `\n→ ${remedy}`;
      printStatus(io.stdout, KINDS[state], `${name}: ${detail}${advice}`);
    }
    io.stdout.write(`${summary(findings)}\n`);
    return usable ? 0 : 1;
  },
});
