/** Where kernels are reached after their agent has started anew with other addresses. */
import { expect, test } from 'bun:test';
import { kernelHostNow } from './record.ts';

test('a kernel follows the agent where its ports are open at the new address too', () => {
  const now = { kernelHost: '10.0.0.2', bindHost: '10.0.0.2' };
  const was = (bindHost?: string) => ({ kernelHost: '10.0.0.1', bindHost });
  expect(kernelHostNow(null, now)).toBe('10.0.0.2');
  expect(kernelHostNow(was('0.0.0.0'), now)).toBe('10.0.0.2');
  expect(kernelHostNow(was('::'), now)).toBe('10.0.0.2');
  // Behind another address that is translated to the same one.
  expect(kernelHostNow(was('10.0.0.2'), now)).toBe('10.0.0.2');
  expect(kernelHostNow(was('10.0.0.1'), now)).toBe('10.0.0.1');
  expect(kernelHostNow(was(), now)).toBe('10.0.0.1');
});
