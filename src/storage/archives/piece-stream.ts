/** The pieces of an archive, which a worker sends as they are asked for, as a body. */

/** Pieces that were asked for and not read: what a reader that stands still costs. */
export const AHEAD = 4;

export class PieceStream {
  readonly #more: () => void;
  readonly #stop: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  /** Pieces that were asked for and have not come. */
  #asked = 0;

  /**
   * @param more asks for another piece.
   * @param stop nobody reads any more.
   */
  constructor(more: () => void, stop: () => void) {
    this.#more = more;
    this.#stop = stop;
  }

  open(): ReadableStream<Uint8Array> {
    return new ReadableStream(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: (controller) => this.#ask(controller.desiredSize ?? 0),
        cancel: () => {
          this.#controller = null;
          this.#stop();
        },
      },
      { highWaterMark: AHEAD },
    );
  }

  /**
   * A stream pulls when something was read and again when something came: asking each time would ask
   * for two pieces for each that is read.
   * @param room for how many pieces.
   */
  #ask(room: number): void {
    for (; this.#asked < room; this.#asked += 1) this.#more();
  }

  add(bytes: Uint8Array): void {
    this.#asked -= 1;
    this.#controller?.enqueue(bytes);
  }

  /** @returns whether somebody was reading it. */
  end(error: Error | null): boolean {
    const controller = this.#controller;
    this.#controller = null;
    if (error === null) controller?.close();
    else controller?.error(error);
    return controller !== null;
  }
}
