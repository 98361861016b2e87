/** Entry point of the runner alone, for agents that run from a checkout; see runner-executable.ts. */
import { errorMessage } from '../src/common/errors.ts';
import { runKernelRunner } from '../src/kernel/main.ts';

// No top-level await: the bytecode compiler does not take it.
void runKernelRunner(process.env).then(
  (code) => process.exit(code),
  (error) => {
    console.error(`✗ ${errorMessage(error)}`);
    process.exit(1);
  },
);
