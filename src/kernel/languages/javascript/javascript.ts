/** JavaScript in query mode: the image's Node with our driver inside. */
import type { DriverSource } from '../driver-process.ts';
import driver from './driver.cjs' with { type: 'text' };

/** @param interpreter path or name of a Node ≥ 16. */
export function javascriptDriver(interpreter: string): DriverSource {
  return { command: interpreter, args: ['-e', driver], preamble: '', hearsInterrupts: true };
}
