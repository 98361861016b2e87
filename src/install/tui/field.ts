/** What a form is made of. */
import type { ServerKind } from '../parts/probes.ts';
import type { InstallRequest } from '../request.ts';

export interface ValueField {
  readonly label: string;
  readonly value: string;
  /** What it is for, in a line. */
  readonly about?: string;
  /** Enter goes from one to the next. Free text without. */
  readonly choices?: readonly string[];
  /** It may be left empty, which is told with this word. */
  readonly whenEmpty?: string;
  /** It is not shown, and written anew when it is changed. */
  readonly isSecret?: boolean;
  /** How much of a secret is shown all the same, which tells its kind. Characters; 0 by default. */
  readonly shown?: number;
  /** Servers that have to answer there; they are asked while the form is open. */
  readonly answers?: ServerKind;
  /** @returns the changed request, or why the text is not taken. */
  accept(text: string): InstallRequest | string;
}

/** Fields of one topic, on a page of their own. */
export interface Group {
  readonly label: string;
  /** What they say all together. */
  readonly value: string;
  readonly about?: string;
  readonly fields: readonly ValueField[];
}

export type Field = ValueField | Group;

export const isGroup = (field: Field): field is Group => 'fields' in field;

/** Whether something has to be said before anything can be done. */
export const isMissing = (field: Field): boolean =>
  isGroup(field)
    ? field.fields.some(isMissing)
    : field.value === '' && field.whenEmpty === undefined;

/** How the value of a field is shown: of a secret only how it begins. */
export function shownValue(field: Field): string {
  if (isGroup(field)) return `${field.value} ›`;
  const { value, isSecret, shown = 0, whenEmpty = 'needed' } = field;
  if (value === '') return `(${whenEmpty})`;
  if (isSecret !== true) return value;
  return shown === 0 ? '(given)' : `${value.slice(0, shown)}…`;
}

/** A field of yes or no. */
export const yesNo = (
  label: string,
  value: boolean,
  about: string,
  change: (value: boolean) => InstallRequest,
): ValueField => ({
  ...{ label, about, value: value ? 'yes' : 'no', choices: ['no', 'yes'] },
  accept: (text) => change(text === 'yes'),
});
