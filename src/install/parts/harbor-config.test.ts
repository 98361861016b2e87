/** Harbor's configuration: what we set, all the rest as it was, and templates that are no Harbor's. */
import { expect, test } from 'bun:test';
import { HARBOR_TEMPLATE } from '../../testing/harbor-archive.ts';
import { harborYaml } from './harbor-config.ts';

const settings = {
  hostname: 'registry.lab.example',
  httpPort: 8084,
  adminPassword: 'say "so": #1',
  databasePassword: 'secret',
  dataFolder: '/lab/var/harbor/data',
  logFolder: '/lab/var/harbor/logs',
};

test('it speaks HTTP at our port and keeps everything in our folders', () => {
  const text = harborYaml(HARBOR_TEMPLATE, settings);
  expect(Bun.YAML.parse(text)).toEqual({
    hostname: 'registry.lab.example',
    http: { port: 8084 },
    harbor_admin_password: 'say "so": #1',
    database: { password: 'secret', max_idle_conns: 100 },
    data_volume: '/lab/var/harbor/data',
    jobservice: { max_job_workers: 10 },
    log: { level: 'info', local: { rotate_count: 50, location: '/lab/var/harbor/logs' } },
    _version: '2.11.0',
  });
  // Harbor's script takes the line apart with grep and awk.
  expect(text).toMatch(/^data_volume: \/lab\/var\/harbor\/data$/m);
  expect(text).toContain('#   certificate: /your/certificate/path');
  expect(text.split('\n')).toHaveLength(HARBOR_TEMPLATE.split('\n').length);
});

test('once written it is written the same again', () => {
  const text = harborYaml(HARBOR_TEMPLATE, settings);
  expect(harborYaml(text, settings)).toBe(text);
});

test.each([
  [HARBOR_TEMPLATE.replace(/^data_volume:.*$/m, ''), 'data_volume is missing'],
  [HARBOR_TEMPLATE.replace('    location', '    place'), 'log.local.location is missing'],
  ['just text', 'is not like that of a Harbor we know'],
  ['a: [', 'is no YAML'],
])('a template that lacks something is refused', (template, reason) => {
  expect(() => harborYaml(template, settings)).toThrow(reason);
});
