/** Mount expressions: `NAME`, `NAME:PATH`, `NAME=PATH`, or `type=bind,source=NAME,target=PATH,perm=ro`. */
import type { SessionMount } from '../../client/index.ts';
import { UsageError } from '../../common/command.ts';

const PERMISSIONS = ['ro', 'rw', 'wd'] as const;

/** Splits at a separator that no backslash stands before. */
function splitAt(text: string, separator: RegExp): string[] {
  const parts: string[] = [''];
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? '';
    if (char === '\\' && /[,:=]/.test(text[at + 1] ?? '')) {
      at += 1;
      parts.push(`${parts.pop()}${text[at]}`);
    } else if (separator.test(char)) parts.push('');
    else parts.push(`${parts.pop()}${char}`);
  }
  return parts;
}

function fieldsOf(text: string): Map<string, string> {
  return new Map(
    splitAt(text, /,/).map((part) => {
      const at = part.indexOf('=');
      return at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
    }),
  );
}

/** @throws UsageError naming what is wrong. */
export function mountExpression(text: string): SessionMount {
  const wrong = (why: string) => new UsageError(`'${text}' is no mount: ${why}.`);
  if (!/(^|,)(source|src)=/.test(text)) {
    const [source = '', target, ...more] = splitAt(text, /[:=]/);
    if (source === '' || more.length > 0) throw wrong('write it as NAME, NAME:PATH or NAME=PATH');
    return target === undefined || target === '' ? { source } : { source, target };
  }
  const fields = fieldsOf(text);
  const source = fields.get('source') ?? fields.get('src') ?? '';
  if (source === '') throw wrong('source is empty');
  const type = fields.get('type') ?? 'bind';
  if (type !== 'bind') throw wrong(`only type=bind is possible, not ${type}`);
  const target = fields.get('target') ?? fields.get('dst');
  const given = fields.get('perm') ?? fields.get('permission');
  const permission = PERMISSIONS.find((known) => known === given);
  if (given !== undefined && permission === undefined) throw wrong('perm is ro, rw or wd');
  return { source, ...(target && { target }), ...(permission && { permission }) };
}
