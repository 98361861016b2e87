/** A form of the screens: rows of which one is chosen, changed in place; below them, what is to be said of it. */
import { Box, type Key, Text, useInput } from 'ink';
import { useRef, useState } from 'react';
import { errorMessage } from '../../common/errors.ts';
import { eachKey } from '../../common/terminal-keys.ts';
import type { InstallRequest } from '../request.ts';
import { type Answer, useAnswers } from './answers.ts';
import { type Field, type Group, isGroup, shownValue, type ValueField } from './field.ts';
import { type Draft, draftOf, edit, shownDraft } from './line-editor.ts';

interface FormProps {
  /** As the last change left them. */
  readonly fieldsNow: () => readonly Field[];
  readonly start: { readonly at: number; readonly problem: string | null };
  /** Of the terminal, for all of it. */
  readonly rows: number;
  /** The button after the fields. */
  readonly last: { readonly label: string; readonly isPossible: boolean };
  readonly keys: string;
  readonly onChange: (request: InstallRequest) => void;
  readonly onOpen?: (group: Group) => void;
  /** What is done is looked at in full. @param at the row to come back to. */
  readonly onFull?: (at: number) => void;
  readonly onLast: () => void;
  readonly onBack: () => void;
}

const LABEL_WIDTH = 18;
/** What is to be said of the chosen row, a gap, the keys. */
const OWN_ROWS = 3;
const TYPING_KEYS = 'enter accept · esc leave as it was';

/** @returns the changed request, or why the text is not taken. */
function tried(field: ValueField, text: string): InstallRequest | string {
  try {
    return field.accept(text);
  } catch (error) {
    // What is there in a folder may not be what it should be.
    return errorMessage(error);
  }
}

/** Where somebody is, what they type, and what was wrong with it. */
interface FormState {
  readonly at: number;
  readonly draft: Draft | null;
  readonly problem: string | null;
}

function useForm({ fieldsNow, start, last, onChange, onOpen, onFull, onLast, onBack }: FormProps) {
  // Several keys may come before the next drawing: each acts on what the one before it led to.
  const state = useRef<FormState>({ at: start.at, draft: null, problem: start.problem });
  const [, draw] = useState(0);
  const set = (part: Partial<FormState>) => {
    state.current = { ...state.current, ...part };
    draw((count) => count + 1);
  };
  const accept = (edited: ValueField, text: string) => {
    const changed = tried(edited, text);
    if (typeof changed === 'string') set({ problem: changed });
    else {
      set({ problem: null, draft: null });
      onChange(changed);
    }
  };
  const enter = (field: Field | undefined) => {
    if (field === undefined) {
      if (last.isPossible) onLast();
    } else if (isGroup(field)) onOpen?.(field);
    else if (field.choices) {
      const next = (field.choices.indexOf(field.value) + 1) % field.choices.length;
      accept(field, field.choices[next] ?? field.value);
    } else set({ draft: draftOf(field.isSecret === true ? '' : field.value) });
  };
  const take = (input: string, key: Key) => {
    const { at, draft } = state.current;
    const fields = fieldsNow();
    const field = fields[at];
    if (draft !== null && field !== undefined && !isGroup(field)) {
      if (key.return) accept(field, draft.text);
      else if (key.escape) set({ problem: null, draft: null });
      else set({ problem: null, draft: edit(draft, input, key) });
      return;
    }
    const choose = (by: number) =>
      set({ problem: null, at: (at + fields.length + 1 + by) % (fields.length + 1) });
    if (key.escape) onBack();
    else if (key.upArrow || (key.tab && key.shift)) choose(-1);
    else if (key.downArrow || key.tab) choose(1);
    else if (key.return) enter(field);
    else if (input === 'd') onFull?.(at);
  };
  useInput((input, key) => eachKey(input, key, take));
  return state.current;
}

export function Form(props: FormProps) {
  const { fieldsNow, rows, last, keys } = props;
  const { at, draft, problem } = useForm(props);
  const fields = fieldsNow();
  const field = fields[at];
  const answerOf = useAnswers(fields.filter((one): one is ValueField => !isGroup(one)));
  const room = Math.max(1, rows - OWN_ROWS);
  const all = fields.length + 1;
  // The chosen row stays in sight.
  const first = Math.max(0, Math.min(at - Math.floor(room / 2), all - room));
  const shown = fields.slice(first, first + room);
  return (
    <Box flexDirection="column">
      {shown.map((row, index) => (
        <Row
          key={row.label}
          field={row}
          isChosen={first + index === at}
          draft={first + index === at ? draft : null}
          answer={isGroup(row) ? undefined : answerOf(row)}
        />
      ))}
      {first + room > fields.length && (
        <Text color={field === undefined ? 'cyan' : undefined} bold dimColor={!last.isPossible}>
          {field === undefined ? '❯ ' : '  '}
          {last.isPossible ? last.label : `${last.label} (not yet)`}
        </Text>
      )}
      <Remark problem={problem} typing={typingProblem(field, draft)} about={field?.about} />
      <Box marginTop={1}>
        <Text dimColor wrap="truncate-end">
          {draft === null ? keys : TYPING_KEYS}
          {all > room ? ` · ${at + 1} of ${all}` : ''}
        </Text>
      </Box>
    </Box>
  );
}

/** What is still wrong with a text that is being typed. */
function typingProblem(field: Field | undefined, draft: Draft | null): string | null {
  if (draft === null || draft.text === '' || field === undefined || isGroup(field)) return null;
  const found = tried(field, draft.text);
  return typeof found === 'string' ? found : null;
}

function Remark({
  problem,
  typing,
  about,
}: {
  readonly problem: string | null;
  readonly typing: string | null;
  readonly about: string | undefined;
}) {
  if (problem !== null) {
    return (
      <Text color="red" wrap="truncate-end">
        ✗ {problem}
      </Text>
    );
  }
  return (
    <Text
      color={typing === null ? undefined : 'yellow'}
      dimColor={typing === null}
      wrap="truncate-end"
    >
      {'  '}
      {typing ?? about ?? ''}
    </Text>
  );
}

function Row({
  field,
  isChosen,
  draft,
  answer,
}: {
  readonly field: Field;
  readonly isChosen: boolean;
  readonly draft: Draft | null;
  readonly answer: Answer | undefined;
}) {
  const isSecret = !isGroup(field) && field.isSecret === true;
  return (
    <Text color={isChosen ? 'cyan' : undefined} wrap="truncate-end">
      {isChosen ? '❯ ' : '  '}
      {field.label.padEnd(LABEL_WIDTH)}
      {draft === null ? shownValue(field) : shownDraft(draft, isSecret)}
      {draft === null && <AnswerMark answer={answer} />}
    </Text>
  );
}

function AnswerMark({ answer }: { readonly answer: Answer | undefined }) {
  if (answer === undefined) return null;
  if (answer === null) return <Text dimColor> (asking)</Text>;
  if (answer.silent.length === 0) return <Text color="green"> ✓ answers</Text>;
  // One of several may be away: that is what there are several for.
  return answer.isWarning ? (
    <Text color="yellow"> ∙ no answer from {answer.silent.join(', ')}</Text>
  ) : (
    <Text color="red"> ✗ no answer</Text>
  );
}
