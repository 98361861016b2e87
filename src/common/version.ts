/** The version of this product, which is also the upstream version whose clients it serves. */
import manifest from '../../package.json' with { type: 'json' };

export const VERSION: string = manifest.version;
