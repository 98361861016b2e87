/** Service port labels: what is accepted, and what is refused with which words. */
import { expect, test } from 'bun:test';
import { BackendError } from '../errors.ts';
import { coreCountVariables, parseServicePorts, runtimeOf, servicePortsOf } from './labels.ts';

test('entries with one port, several ports, and terminals', () => {
  const services = parseServicePorts('ipython:pty:3000,jupyter:http:8070, db:tcp:[5432,5433]');
  expect(
    services.map(({ name, protocol, container_ports }) => [name, protocol, container_ports]),
  ).toEqual([
    ['jupyter', 'http', [8070]],
    ['db', 'tcp', [5432, 5433]],
  ]);
  expect(parseServicePorts('')).toEqual([]);
});

test.each([
  ['a:http:80', 'between 1025'],
  ['a:http:8000,a:tcp:8001', 'name used before'],
  ['a:http:8000,b:tcp:8000', 'port used before'],
  ['a:http:2200', 'reserved'],
  ['a:gopher:8000', 'unknown protocol'],
  ['a', 'form name:protocol:port'],
  ['a:http:x', 'not a number'],
])('%s is refused: %s', (label, words) => {
  expect(() => parseServicePorts(label)).toThrow(BackendError);
  expect(() => parseServicePorts(label)).toThrow(words);
});

test('ports opened by the owner join those of the image', () => {
  const labels = { 'ai.backend.service-ports': 'web:http:8080' };
  expect(servicePortsOf(labels, [9000]).map(({ name }) => name)).toEqual(['web', '9000']);
  expect(() => servicePortsOf(labels, [8080])).toThrow('opened by the image already');
});

test('runtime and core-count variables', () => {
  expect(runtimeOf({})).toEqual({ type: 'app', path: '' });
  expect(coreCountVariables({ 'ai.backend.envs.corecount': 'A, B' })).toEqual(['A', 'B']);
});
