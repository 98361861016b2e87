/** What query mode needs from a language: a process that keeps state between pieces of code. */
import type { Clock } from '../../common/clock.ts';
import type { CompletionRequest } from '../../common/protocol/execution.ts';
import type { RunSink } from '../run.ts';

export const languageNames = ['python', 'javascript', 'shell'] as const;
export type LanguageName = (typeof languageNames)[number];

/** Where and how user programs run. */
export interface Workplace {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly clock: Clock;
}

/** Receives output that no run claims, such as that of background threads. */
export type IdleOutput = (stream: 'stdout' | 'stderr', chunk: Uint8Array) => Promise<void>;

export interface LanguageSession {
  /** Starts the process if there is none. Rejects when it cannot be started. */
  warmUp(): Promise<void>;
  /** Runs code in the kept state. At most one call at a time. @returns the exit code. */
  run(code: string, sink: RunSink): Promise<number>;
  input(line: string): void;
  interrupt(): void;
  /** Completions of the last word; empty while code runs or when the language offers none. */
  complete(request: CompletionRequest): Promise<string[]>;
  /** Ends the process and its children. */
  stop(): void;
}
