/** Whether servers answer at the addresses of a form, asked while it is open. */
import { useEffect, useState } from 'react';
import { silentServers } from '../parts/halfstack.ts';
import type { ValueField } from './field.ts';

/** What is known of the servers of a field; null while they are asked. */
export type Answer = {
  /** The addresses where nobody answers. */
  readonly silent: readonly string[];
  /** Others of them do. */
  readonly isWarning: boolean;
} | null;

const keyOf = ({ answers = 'postgres', value }: ValueField): string => `${answers} ${value}`;

/** @returns what is known of a field; undefined of one that names no servers. */
export function useAnswers(
  fields: readonly ValueField[],
): (field: ValueField) => Answer | undefined {
  const [known, setKnown] = useState<ReadonlyMap<string, Answer>>(new Map());
  const asked = fields.filter(({ answers, value }) => answers !== undefined && value !== '');
  const keys = asked.map(keyOf).join('\n');
  // biome-ignore lint/correctness/useExhaustiveDependencies: the fields are new at each drawing, what they ask for is not.
  useEffect(() => {
    let isGone = false;
    for (const field of asked) {
      const { answers, value } = field;
      if (answers === undefined) continue;
      void silentServers(answers, value).then((silent) => {
        const isWarning = silent.length < value.split(',').length;
        if (!isGone) setKnown((before) => new Map(before).set(keyOf(field), { silent, isWarning }));
      });
    }
    return () => {
      isGone = true;
    };
  }, [keys]);
  return (field) =>
    field.answers === undefined || field.value === ''
      ? undefined
      : (known.get(keyOf(field)) ?? null);
}
