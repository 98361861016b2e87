/** What clients may pass along when an app starts: its port, arguments and variables. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import { type ServiceOptions, serviceOptions } from '../../common/protocol/service.ts';

/** Values as people write them in JSON: numbers and booleans are as good as their text. */
const looseValue = v.union([
  v.null(),
  v.string(),
  v.pipe(v.union([v.number(), v.boolean()]), v.transform(String)),
  v.array(v.pipe(v.union([v.string(), v.number(), v.boolean()]), v.transform(String))),
]);

/** Lists would pass for records. */
const plainObject = v.pipe(
  v.unknown(),
  v.check((value) => !Array.isArray(value), 'expected a JSON object'),
  v.record(v.string(), looseValue),
);

/** A JSON object, or text that is one; the word `null` stands for none. */
export const jsonObject = v.optional(
  v.union([
    v.pipe(
      v.nullable(plainObject),
      v.transform((value) => value ?? {}),
    ),
    v.pipe(
      v.string(),
      v.transform((text) => (text.trim() === '' ? 'null' : text)),
      v.parseJson(undefined, 'expected a JSON object'),
      v.nullable(plainObject),
      v.transform((value) => value ?? {}),
    ),
  ]),
  {},
);

export const appPort = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^\d{1,5}$/), v.transform(Number))]),
  v.integer(),
  v.minValue(1024, 'expected a port from 1024 to 65535'),
  v.maxValue(65_535, 'expected a port from 1024 to 65535'),
);

/** @throws BackendError InvalidAPIParameters naming what is wrong. */
export function appOptions(given: { envs: unknown; arguments: unknown }): ServiceOptions {
  const parsed = parseOutside(serviceOptions, given);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new BackendError(
    'InvalidAPIParameters',
    `${v.getDotPath(issue) ?? 'the options'}: ${issue.message}`,
  );
}
