/** Times as the API writes them. */

/** ISO-8601 with microseconds and a numeric offset, `2026-01-02T03:04:05.678000+00:00`. */
export const isoTime = (time: Date): string => time.toISOString().replace('Z', '000+00:00');

/** As isoTime; null stays null. */
export const isoTimeOrNull = (time: Date | null): string | null => (time ? isoTime(time) : null);
