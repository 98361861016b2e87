/** Identifiers as they come from outside. */

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether the text is a UUID in the usual notation, of any version. */
export const isUuid = (text: string): boolean => UUID.test(text);

const LOOSE_UUID = /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i;

/** A UUID as we write it, from one with dashes or without; null for any other text. */
export function normalizeUuid(text: string): string | null {
  if (!LOOSE_UUID.test(text)) return null;
  const hex = text.replaceAll('-', '').toLowerCase();
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return [...parts, hex.slice(20)].join('-');
}
