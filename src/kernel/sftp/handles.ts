/** The files and folders that a client has open. */
import type { Dir } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

const MAX_HANDLES = 1024;

export type Handle =
  | { readonly kind: 'file'; readonly file: FileHandle; readonly appends: boolean }
  | { readonly kind: 'folder'; readonly folder: Dir; readonly path: string };

export class Handles {
  readonly #open = new Map<string, Handle>();
  #last = 0;

  /** @returns the name by which the client refers to it. @throws Error when too many are open. */
  add(handle: Handle): Buffer {
    if (this.#open.size >= MAX_HANDLES) throw new Error(`${MAX_HANDLES} files are open already`);
    this.#last += 1;
    const name = String(this.#last);
    this.#open.set(name, handle);
    return Buffer.from(name);
  }

  #get(name: Buffer): Handle {
    const handle = this.#open.get(name.toString('latin1'));
    if (handle === undefined) throw new Error('the handle is not open');
    return handle;
  }

  file(name: Buffer): Extract<Handle, { kind: 'file' }> {
    const handle = this.#get(name);
    if (handle.kind !== 'file') throw new Error('the handle is no file');
    return handle;
  }

  folder(name: Buffer): Extract<Handle, { kind: 'folder' }> {
    const handle = this.#get(name);
    if (handle.kind !== 'folder') throw new Error('the handle is no folder');
    return handle;
  }

  async close(name: Buffer): Promise<void> {
    const handle = this.#get(name);
    this.#open.delete(name.toString('latin1'));
    await (handle.kind === 'file' ? handle.file.close() : handle.folder.close());
  }

  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#open.keys()].map((name) => this.close(Buffer.from(name))));
  }
}
