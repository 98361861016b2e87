/** The units are such as systemd takes, and give the components no more rights than they need. */
import { afterAll, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingTool, requireOrSkip } from '../../testing/services.ts';
import { layoutOf } from '../layout.ts';
import { unitText } from '../modes/standalone.ts';
import { PACKAGE_PORTS } from '../request.ts';
import { servicesOf } from './services.ts';
import { unitFor } from './units.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-units-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const layout = layoutOf(join(folder, 'cluster'));
const services = servicesOf({ mode: 'package', ports: { ...PACKAGE_PORTS } });

test.if(requireOrSkip(missingTool('systemd-analyze', 'systemd')))(
  'systemd-analyze finds nothing wrong',
  () => {
    mkdirSync(join(layout.executable, '..'), { recursive: true });
    writeFileSync(layout.executable, '#!/bin/sh\n');
    chmodSync(layout.executable, 0o755);
    const paths = services.map((spec) => {
      const unit = unitFor(spec, layout, { envId: 'default', user: null });
      const path = join(folder, unit.name);
      writeFileSync(path, unit.text);
      return path;
    });
    const standalone = join(folder, 'backend.ai.service');
    writeFileSync(standalone, unitText(layout.executable, 'default', true));
    paths.push(standalone);
    const { exitCode, stderr } = Bun.spawnSync(['systemd-analyze', 'verify', ...paths]);
    const ours = stderr
      .toString()
      .split('\n')
      .filter((line) => line.includes('backend.ai'));
    expect(ours).toEqual([]);
    expect(exitCode).toBe(0);
  },
);

test('only the storage proxy keeps capabilities, and only the agent is not confined', () => {
  const texts = Object.fromEntries(
    services.map((spec) => [
      spec.name,
      unitFor(spec, layout, { envId: 'lab', user: 'bai' }).text.split('\n'),
    ]),
  );
  expect(texts.mgr).toContain('CapabilityBoundingSet=');
  expect(texts.web).toContain('NoNewPrivileges=yes');
  expect(texts.web).toContain('User=bai');
  expect(texts.storage?.find((line) => line.startsWith('CapabilityBoundingSet='))).toContain(
    'CAP_CHOWN',
  );
  expect(texts.agent).toContain('KillMode=process');
  expect(texts.agent).not.toContain('NoNewPrivileges=yes');
});
