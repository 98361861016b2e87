/** Mounting file systems on a node; a real one where this machine lets tests do so. */
import { afterAll, expect, test } from 'bun:test';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readMounts } from '../common/mounts.ts';
import { mountVolume, unmountVolume } from './volume-mounts.ts';

const below = mkdtempSync(join(tmpdir(), 'agent-volumes-'));
afterAll(() => rmSync(below, { recursive: true }));

const asked = {
  ...{ below, name: 'data', fstab: null },
  ...{ location: 'server:/export', type: 'nfs', options: '' },
};

/** Whether this user may mount anything, as root of a machine may and of most containers not. */
function canMount(): boolean {
  const probe = join(below, 'probe');
  mkdirSync(probe);
  const isMounted = Bun.spawnSync(['mount', '-t', 'tmpfs', 'probe', probe]).exitCode === 0;
  if (isMounted) Bun.spawnSync(['umount', probe]);
  rmSync(probe, { recursive: true });
  if (!isMounted) console.log('mounting is not tested: this user may not mount');
  return isMounted;
}

test('what is not a network file system, or leads elsewhere, is refused', async () => {
  const wrong = [
    ...['..', '.', 'a/b', '', '-a', 'a b'].map((name) => ({ name })),
    ...['ext4', 'none', 'tmpfs', 'proc', ''].map((type) => ({ type })),
    ...['', '-a', 'a b', '#a', 'a\\040b', 'a\nb'].map((location) => ({ location })),
    ...[
      'bind',
      'ro,rbind',
      'suid',
      'dev,ro',
      'remount,rw',
      'ro user',
      'loop=/x',
      'x-mount.mkdir',
      'X-mount.owner=1000',
      'BIND',
    ].map((options) => ({ options })),
    ...['/', 'mnt', '/mnt/../etc', '/mnt/'].map((path) => ({ below: path })),
    { fstab: '/etc/passwd' },
  ];
  for (const change of wrong) {
    const failed = await mountVolume({ ...asked, ...change }).then(
      () => 'it succeeded',
      (error: Error) => error.name,
    );
    expect([change, failed]).toEqual([change, 'InvalidAPIParameters']);
  }
  await expect(unmountVolume(asked)).rejects.toThrow('Nothing is mounted');
  expect(readdirSync(below)).toEqual([]);
});

test('what cannot be mounted is told, and leaves nothing', async () => {
  await expect(mountVolume({ ...asked, location: 'no-such-thing', type: 'cifs' })).rejects.toThrow(
    'mount failed',
  );
  expect(readdirSync(below)).toEqual([]);
});

test.skipIf(process.platform !== 'linux' || !canMount())(
  'a file system is mounted, noted for the next start, and unmounted',
  async () => {
    const fstab = join(below, 'fstab');
    const others = `# ours\n/dev/sda1 / ext4 defaults 0 1\nold ${below}/data nfs defaults 0 0\n`;
    writeFileSync(fstab, others, { mode: 0o640 });
    const point = join(below, 'data');
    mkdirSync(join(point, 'mine'), { recursive: true });
    await expect(mountVolume(asked)).rejects.toThrow('holds files');
    rmSync(point, { recursive: true });
    // Somebody who may write there laid a trap.
    const victim = join(below, 'victim');
    writeFileSync(victim, 'kept');
    symlinkSync(victim, `${fstab}.backend.ai-new`);
    const wanted = { ...asked, fstab, location: 'memory', type: 'tmpfs', options: 'size=1m' };
    expect(await mountVolume(wanted, ['tmpfs'])).toContain(point);
    try {
      expect(await readMounts(below)).toEqual([point]);
      const [line = ''] = readFileSync('/proc/self/mounts', 'utf8')
        .split('\n')
        .filter((text) => text.includes(point));
      expect(line.split(' ')[3]?.split(',')).toEqual(expect.arrayContaining(['nosuid', 'nodev']));
      await expect(mountVolume(wanted, ['tmpfs'])).rejects.toThrow('mounted already');
      expect(readFileSync(fstab, 'utf8')).toBe(
        `# ours\n/dev/sda1 / ext4 defaults 0 1\nmemory ${point} tmpfs size=1m,nosuid,nodev,_netdev 0 0\n`,
      );
    } finally {
      await unmountVolume(wanted);
    }
    expect(await readMounts(below)).toEqual([]);
    expect(readFileSync(fstab, 'utf8')).toBe('# ours\n/dev/sda1 / ext4 defaults 0 1\n');
    expect(readFileSync(victim, 'utf8')).toBe('kept');
    expect(readdirSync(below).sort()).toEqual(['data', 'fstab', 'victim']);
  },
);
