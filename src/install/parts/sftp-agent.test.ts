/** The SFTP agent's file says what was asked for, in words that the agent takes, and nothing of the other one. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { loadAgentConfig } from '../../agent/config-file.ts';
import { systemRandom } from '../../common/random.ts';
import { installRequest } from '../../testing/install-request.ts';
import { layoutOf, loadOrCreateSecrets } from '../layout.ts';
import type { InstallRequest } from '../request.ts';
import { storedSettings, writeConfigFiles } from './config-files.ts';
import { servicesOf } from './services.ts';
import { sftpPage } from './sftp-agent.ts';
import { unitFor } from './units.ts';

const home = mkdtempSync(join(tmpdir(), 'bai-sftp-agent-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const layout = layoutOf(join(home, 'cluster'));
const request = (part: Partial<InstallRequest> = {}): InstallRequest =>
  installRequest({ targetPath: layout.root, sftpAgent: true, accelerator: 'cuda_mock', ...part });

function write(part: Partial<InstallRequest> = {}) {
  const secrets = loadOrCreateSecrets(layout, systemRandom);
  writeConfigFiles(request(part), layout, secrets);
  const read = (name: string) =>
    loadAgentConfig({
      explicitPath: join(layout.config, name),
      ...{ places: { cwd: layout.config, home }, env: {} },
    });
  return { compute: read('agent.toml'), sftp: read('agent-sftp.toml'), secrets };
}

test('two agents of one machine share nothing but the machine', () => {
  const { compute, sftp } = write();
  expect(sftp.withoutEffect).toEqual([]);
  expect(sftp.settings).toMatchObject({
    scalingGroup: 'upload',
    serviceAddr: { host: '127.0.0.1', port: 6014 },
    container: { portRange: [31_100, 31_200] },
    accelerators: { allow: [] },
  });
  expect(sftp.settings.id).toBe(`${compute.settings.id}-sftp`);
  expect(compute.settings).toMatchObject({
    scalingGroup: 'default',
    container: { portRange: [30_000, 31_000] },
  });
  const folders = [compute, sftp].flatMap(({ settings }) => [
    ...[settings.varBasePath, settings.ipcBasePath, settings.container.scratchRoot],
  ]);
  expect(new Set(folders).size).toBe(6);
});

test('the storage proxy names its resource group, and the WebUI an image', () => {
  const { secrets } = write();
  const local = storedSettings(request(), secrets).volumes.proxies.local;
  expect(local).toMatchObject({ sftp_scaling_groups: 'upload' });
  const imageOf = (part: Partial<InstallRequest>) => {
    write(part);
    const web = parse(readFileSync(join(layout.config, 'webserver.conf'), 'utf8'));
    return { service: web.service, page: sftpPage(request(part)).lines.join('\n') };
  };
  const here = imageOf({});
  expect(here.service).toMatchObject({
    'system-SSH-image': expect.stringMatching(/^local\/bash:\d+@\w+$/),
  });
  expect(here.page).toContain('It makes it of local/bash:');
  // Docker's images are not of this host: one is looked for by its label.
  const containers = imageOf({ agentBackend: 'docker' });
  expect(containers.service).not.toHaveProperty('system-SSH-image');
  expect(containers.page).toContain('ai.backend.role=SYSTEM');
});

test('its unit is that of an agent', () => {
  const services = servicesOf({ mode: 'package', ports: { ...request().ports }, sftp_agent: true });
  const unit = services
    .filter(({ name }) => name === 'sftp-agent')
    .map((spec) => unitFor(spec, layout, { envId: 'lab', user: null }));
  expect(unit.map(({ name }) => name)).toEqual(['backend.ai-sftp-agent-lab.service']);
  expect(unit[0]?.text).toContain('agent-sftp.toml');
  expect(unit[0]?.text).toContain('KillMode=process');
  expect(unit[0]?.text).not.toContain('NoNewPrivileges=yes');
});
