/** Text as people send it, of a kind that the database can hold. */
import * as v from 'valibot';

/** @param maxLength largest number of UTF-16 units. */
export const storableText = (maxLength: number) =>
  v.pipe(
    v.string(),
    v.maxLength(maxLength),
    v.check((text) => !text.includes('\0'), 'text cannot hold a NUL character'),
  );
