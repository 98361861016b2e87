/** Query mode: one piece of code in the kept state of the image's language. */
import type { IdleOutputBuffer } from './idle-output.ts';
import type { LanguageSession } from './languages/language.ts';
import type { Executor, RunSink } from './run.ts';

const EXIT_NO_LANGUAGE = 127;

export class QueryExecutor implements Executor {
  private readonly code: string;
  private readonly session: LanguageSession | null;
  private readonly idle: IdleOutputBuffer;
  private readonly runtimeType: string;

  /** @param session null when the image has no interpreter for its runtime type. */
  constructor(
    code: string,
    session: LanguageSession | null,
    idle: IdleOutputBuffer,
    runtimeType: string,
  ) {
    this.code = code;
    this.session = session;
    this.idle = idle;
    this.runtimeType = runtimeType;
  }

  async run(sink: RunSink): Promise<number> {
    await this.idle.drainTo(sink);
    if (this.session !== null) return await this.session.run(this.code, sink);
    await sink.text(
      'stderr',
      `This image has no interpreter for the runtime type "${this.runtimeType}", so it cannot run ` +
        'code in query mode. Use batch mode with a command of the image, or another image.\n',
    );
    return EXIT_NO_LANGUAGE;
  }

  interrupt(): void {
    this.session?.interrupt();
  }

  input(line: string): void {
    this.session?.input(line);
  }
}
