/** What the proxy asks its worker about attributes of folders, and how that answers. */
import * as v from 'valibot';

const id = v.number();

/** With a `value` the attribute is set, else it is read. */
export const question = v.object({
  id,
  /** Of the folder. */
  path: v.string(),
  name: v.string(),
  value: v.optional(v.string()),
});

/** The system's number of its error, if there was one; else the value, as it is now. */
export const answer = v.union([
  v.object({ id, errno: v.number() }),
  v.object({ id, value: v.string() }),
]);

export type Question = v.InferOutput<typeof question>;
export type Answer = v.InferOutput<typeof answer>;
