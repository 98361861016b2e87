/** Where requests come from, as far as headers that anybody can send are to be believed. */
import { describe, expect, test } from 'bun:test';
import { isAddressBlock } from '../../common/address-blocks.ts';
import { signedHeaders, type TestServer, testManagerServer } from '../../testing/manager.ts';
import { ClientAddresses, isAllowedAddress } from './client-ip.ts';

const of = (trusted: string[], forwarded: string | null, peer: string | null) =>
  new ClientAddresses(trusted).of(
    new Headers(forwarded === null ? {} : { 'X-Forwarded-For': forwarded }),
    peer,
  );

describe('the address of a client', () => {
  test.each([
    [null, '192.0.2.1', '192.0.2.1'],
    ['198.51.100.7, 10.0.0.1', '192.0.2.1', '198.51.100.7'],
    [null, '::ffff:192.0.2.1', '192.0.2.1'],
    [null, null, null],
  ])('without known proxies: %p from %p is %p', (forwarded, peer, expected) => {
    expect(of([], forwarded, peer)).toBe(expected);
  });

  test.each([
    // Not from a proxy: the header is the client's own invention.
    ['198.51.100.7', '192.0.2.1', '192.0.2.1'],
    // Two proxies; what the client put before its own address is not believed.
    ['203.0.113.9, 198.51.100.7, 10.0.0.2', '10.0.0.1', '198.51.100.7'],
    ['198.51.100.7', '::ffff:10.0.0.1', '198.51.100.7'],
    ['2001:db8::7', 'fd00::1', '2001:db8::7'],
    // A client inside the proxies' own network.
    ['10.0.0.9', '10.0.0.1', '10.0.0.9'],
    [null, '10.0.0.1', '10.0.0.1'],
    ['198.51.100.7, nonsense, 10.0.0.2', '10.0.0.1', 'nonsense'],
    ['198.51.100.7', null, null],
  ])('with known proxies: %p from %p is %p', (forwarded, peer, expected) => {
    expect(of(['10.0.0.0/8', 'fd00::/8'], forwarded, peer)).toBe(expected);
  });
});

test.each([
  ['10.0.0.0/8', true],
  ['::1', true],
  ['2001:db8::/32', true],
  ['10.0.0.0/33', false],
  ['10.0.0.0/8/8', false],
  ['10.0.0.0/', false],
  ['example.com', false],
  ['', false],
])('%p as a block: %p', (text, expected) => {
  expect(isAddressBlock(text)).toBe(expected);
});

test('an empty list allows nobody, and damaged blocks allow nothing', () => {
  expect(isAllowedAddress('10.0.0.1', null)).toBe(true);
  expect(isAllowedAddress('10.0.0.1', [])).toBe(false);
  expect(isAllowedAddress('10.0.0.1', ['10.0.0.0/99', 'x'])).toBe(false);
  expect(isAllowedAddress('nonsense', ['0.0.0.0/0'])).toBe(false);
});

describe('a manager behind proxies', () => {
  const peerOf = async (trustedProxies: string[] | undefined): Promise<unknown> => {
    const server: TestServer = await testManagerServer({ settings: { trustedProxies } });
    try {
      await server.db.sql`UPDATE users SET password = 'x', allowed_client_ip = '{198.51.100.0/24}'
        WHERE username = 'user'`;
      const { host } = new URL(server.url);
      const response = await fetch(`${server.url}/auth/my-ip`, {
        headers: {
          ...signedHeaders(server.accounts.user, { target: '/auth/my-ip', host }),
          'X-Forwarded-For': '198.51.100.7',
        },
      });
      return response.status === 200 ? await response.json() : response.status;
    } finally {
      await server.close();
    }
  };

  test('believes the header of its proxies only', async () => {
    expect(await peerOf(['127.0.0.0/8'])).toEqual({ client_ip: '198.51.100.7' });
    expect(await peerOf(['10.0.0.0/8'])).toBe(401);
    expect(await peerOf(undefined)).toEqual({ client_ip: '198.51.100.7' });
  }, 30_000);
});
