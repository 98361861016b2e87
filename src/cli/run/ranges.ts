/** Experiments: range expressions, their combinations, and what they replace in texts. */
import { UsageError } from '../../common/command.ts';

/** A variable and its cases. */
export type Range = readonly [name: string, cases: readonly string[]];

const MAX_CASES = 10_000;

function numbers(text: string, counts: readonly number[], kind: string): number[] {
  const values = text.split(',').map(Number);
  if (!counts.includes(values.length) || values.some((value) => !Number.isFinite(value))) {
    throw new UsageError(`'${kind}:${text}' does not have the numbers that '${kind}' needs.`);
  }
  return values;
}

function checkedCount(count: number, expression: string): number {
  if (!Number.isInteger(count) || count < 1 || count > MAX_CASES) {
    throw new UsageError(`'${expression}' gives ${count} cases; 1 to ${MAX_CASES} are allowed.`);
  }
  return count;
}

function rangeCases(expression: string): string[] {
  const colon = expression.indexOf(':');
  const kind = expression.slice(0, Math.max(0, colon));
  const text = expression.slice(colon + 1);
  if (kind === 'case') {
    const cases = text.split(',').filter((item) => item !== '');
    checkedCount(cases.length, expression);
    return cases;
  }
  if (kind === 'linspace') {
    const [start = 0, stop = 0, count = 0] = numbers(text, [3], kind);
    checkedCount(count, expression);
    const step = count > 1 ? (stop - start) / (count - 1) : 0;
    return Array.from({ length: count }, (_, index) => String(start + step * index));
  }
  if (kind === 'range') {
    const [start = 0, stop = 0, step = 1] = numbers(text, [2, 3], kind);
    const count = checkedCount(Math.ceil((stop - start) / step), expression);
    return Array.from({ length: count }, (_, index) => String(start + step * index));
  }
  throw new UsageError(
    `'${expression}' is not a range: use case:a,b or linspace:start,stop,n or ` +
      'range:start,stop[,step].',
  );
}

/** `VAR=case:a,b`, `VAR=linspace:start,stop,n` or `VAR=range:start,stop[,step]`. */
export function parseRange(text: string): Range {
  const equals = text.indexOf('=');
  const name = text.slice(0, Math.max(0, equals));
  if (!/^[A-Za-z_]\w*$/.test(name)) throw new UsageError(`'${text}' is not VARIABLE=RANGE.`);
  return [name, rangeCases(text.slice(equals + 1))];
}

export type Variables = Readonly<Record<string, string>>;

/** Every combination of the ranges' cases; one empty combination when there are no ranges. */
export function combinations(ranges: readonly Range[]): Variables[] {
  let result: Variables[] = [{}];
  for (const [name, cases] of ranges) {
    if (result.length * cases.length > MAX_CASES) {
      throw new UsageError(`The ranges give more than ${MAX_CASES} combinations.`);
    }
    result = result.flatMap((variables) => cases.map((value) => ({ ...variables, [name]: value })));
  }
  return result;
}

/**
 * Replaces `$name` and `${name}` where the variable is known; `$$` stands for `$`. Without variables
 * the text is left alone: its dollars are the shell's.
 */
export function substitute(text: string, variables: Variables): string {
  if (Object.keys(variables).length === 0) return text;
  return text.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (whole, bare?: string, braced?: string) => {
    if (whole === '$$') return '$';
    return variables[bare ?? braced ?? ''] ?? whole;
  });
}
