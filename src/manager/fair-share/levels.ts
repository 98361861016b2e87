/** The three kinds of owners that have fair shares, from the largest to the smallest. */
export const LEVELS = ['domain', 'project', 'user'] as const;
export type Level = (typeof LEVELS)[number];
