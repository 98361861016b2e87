/** Accelerators that were asked for, in the names of agent.toml. */
import cudaMock from '../../../config/accelerator/mock-accelerator.toml' with { type: 'text' };
import cudaMigMock from '../../../config/accelerator/mock-cuda-mig.toml' with { type: 'text' };
import rocmMock from '../../../config/accelerator/mock-rocm.toml' with { type: 'text' };
import type { Accelerator } from '../request.ts';

interface Kind {
  readonly title: string;
  readonly plugin: string;
  /** What mock-accelerator.toml says; null where devices are real. */
  readonly mockFile: string | null;
}

const MOCK = 'ai.backend.accelerator.mock';

const KINDS: Readonly<Record<Accelerator, Kind>> = {
  cuda: { title: 'NVIDIA GPUs', plugin: 'ai.backend.accelerator.cuda_open', mockFile: null },
  cuda_mock: { title: 'simulated NVIDIA GPUs', plugin: MOCK, mockFile: cudaMock },
  cuda_mig_mock: { title: 'simulated slices of NVIDIA GPUs', plugin: MOCK, mockFile: cudaMigMock },
  rocm_mock: { title: 'simulated AMD GPUs', plugin: MOCK, mockFile: rocmMock },
};

export const acceleratorTitle = (accelerator: Accelerator | null): string =>
  accelerator === null ? 'the GPUs that are found' : KINDS[accelerator].title;

/** Keys of the section [agent]. Only what is named is offered; without a name, what is found. */
export const pluginsOf = (accelerator: Accelerator | null): Record<string, string[]> =>
  accelerator === null ? {} : { 'allow-compute-plugins': [KINDS[accelerator].plugin] };

export const mockFileOf = (accelerator: Accelerator | null): string | null =>
  accelerator === null ? null : KINDS[accelerator].mockFile;
