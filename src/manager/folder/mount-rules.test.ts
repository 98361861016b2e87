/** Where folders may be mounted, and which of several are. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  type FolderMount,
  normalizeSubpath,
  permissionOf,
  targetOf,
  withoutOverlaps,
} from './mount-rules.ts';

test('a subpath stays inside its folder', () => {
  expect(normalizeSubpath('f', null)).toBe('.');
  expect(normalizeSubpath('f', 'a/./b//')).toBe('a/b');
  expect(normalizeSubpath('f', 'a/../b')).toBe('b');
  for (const wrong of ['..', '../x', 'a/../../x', '/etc', 'a\0']) {
    expect(() => normalizeSubpath('f', wrong)).toThrow('not inside');
  }
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', '..', '.', '', 'b/c')), (parts) => {
      try {
        const path = normalizeSubpath('f', parts.join('/'));
        expect(path === '.' || !/(^|\/)(\.\.|\.|)(\/|$)/.test(path)).toBe(true);
      } catch (error) {
        expect(String(error)).toContain('not inside');
      }
    }),
  );
});

test('targets are below /home/work unless they say otherwise, and never the system', () => {
  expect(targetOf('data', null)).toBe('/home/work/data');
  expect(targetOf('data', 'in/side')).toBe('/home/work/in/side');
  expect(targetOf('data', '/data')).toBe('/data');
  expect(targetOf('data', '/opt/tools')).toBe('/opt/tools');
  expect(targetOf('.linuxbrew', null)).toBe('/home/linuxbrew/.linuxbrew');
  for (const target of [
    ...['/', '/home', '/home/work', '/home/work/', '/home/work/../work', '/etc', '/etc/passwd'],
    ...['/proc/self', '/home/config/x', '/run/backend.ai', '../..', '/opt/kernel', '/a:b', '/usr'],
  ]) {
    expect(() => targetOf('data', target)).toThrow('mount');
  }
});

test('less than a folder gives may be asked for, not more', () => {
  expect(permissionOf('f', 'rw', null)).toBe('rw');
  expect(permissionOf('f', 'rw', 'ro')).toBe('ro');
  expect(permissionOf('f', 'ro', 'ro')).toBe('ro');
  expect(() => permissionOf('f', 'ro', 'rw')).toThrow('read-only');
  expect(() => permissionOf('f', 'ro', 'wd')).toThrow('read-only');
});

describe('of several mounts', () => {
  const mount = (vfid: string, kernel_path: string, vfsubpath = '.'): FolderMount => ({
    ...{ name: vfid, vfid, vfsubpath, kernel_path },
    ...{ host_path: `/v/${vfid}`, mount_perm: 'rw', usage_mode: 'general' },
  });

  test('the same folder is mounted once, its separate directories each', () => {
    const one = mount('a', '/home/work/a');
    expect(withoutOverlaps([one, mount('a', '/data'), mount('a', '/x', 'sub')])).toEqual([one]);
    const parts = [mount('a', '/x', 'x'), mount('a', '/y', 'y')];
    expect(withoutOverlaps(parts)).toEqual(parts);
  });

  test('none hides another', () => {
    const at = (...paths: string[]) =>
      withoutOverlaps(paths.map((path, index) => mount(`f${index}`, path)));
    expect(() => at('/home/work/a', '/home/work/a')).toThrow('overlap');
    expect(() => at('/home/work/a', '/home/work/a/b')).toThrow('overlap');
    expect(() => at('/home/work/a/b', '/home/work/a')).toThrow('overlap');
    expect(at('/home/work/a', '/home/work/ab')).toHaveLength(2);
  });
});
