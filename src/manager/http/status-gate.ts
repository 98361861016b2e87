/** Whether the cluster takes requests at present, as an administrator decided. */
import { BackendError } from '../../common/errors.ts';
import type { ConfigStore, Subscription } from '../../stores/config/port.ts';
import type { Route } from './route.ts';

const STATUS_KEY = 'manager/status';

/** Follows the status in the configuration store, so that a request costs no look-up. */
export class StatusGate {
  #status: string | null = null;
  #subscription: Subscription | null = null;

  /** Reads the status and starts following it. A cluster without one is set to running. */
  static async open(config: ConfigStore): Promise<StatusGate> {
    const gate = new StatusGate();
    gate.#subscription = await config.watch(STATUS_KEY, (change) => {
      if (change.key === STATUS_KEY) gate.#status = change.type === 'put' ? change.value : null;
    });
    await config.compareAndPut(STATUS_KEY, null, 'running');
    gate.#status = await config.get(STATUS_KEY);
    return gate;
  }

  /** `running`, `frozen`, or something that accepts nothing. */
  get status(): string {
    return this.#status ?? 'unknown';
  }

  /** @throws BackendError ServerFrozen or ServiceUnavailable when such routes are closed. */
  check(gate: Route['gate']): void {
    const { status } = this;
    if (gate === 'any' || status === 'running') return;
    if (status === 'frozen') {
      if (gate === 'read') return;
      throw new BackendError('ServerFrozen');
    }
    throw new BackendError(
      'ServiceUnavailable',
      `The manager's status is '${status}'. An administrator can set it to running.`,
    );
  }

  async close(): Promise<void> {
    await this.#subscription?.close();
  }
}
