/** Values of options that more than one command takes: lists and JSON. */
import { integer, UsageError } from '../../common/command.ts';

/** `A,B,C`; spaces around the parts are dropped, and so are empty parts. */
export const commaList = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** `1,2,3`. */
export const integerList = (text: string): number[] => commaList(text).map(integer());

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** @param advice where ids are found. */
export const idText =
  (advice: string) =>
  (text: string): string => {
    if (UUID.test(text)) return text;
    throw new UsageError(
      `'${text}' is not an id such as 2de2b969-1d04-48a6-af16-0bc8adb3c831. ${advice}`,
    );
  };

/** JSON text of an object, as it was given: the server takes it as text. */
export function jsonObjectText(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new UsageError(`'${text}' is not JSON. Put it in single quotes, e.g. '{"cpu": "4"}'.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError(`'${text}' is not a JSON object such as '{"cpu": "4"}'.`);
  }
  return text;
}
