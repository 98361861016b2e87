/** Starts the runner alone, as the one executable would. */
import { runKernelRunner } from '../main.ts';

process.exit(await runKernelRunner(process.env));
