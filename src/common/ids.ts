/** Identifiers as they come from outside. */

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether the text is a UUID in the usual notation, of any version. */
export const isUuid = (text: string): boolean => UUID.test(text);
