/** Artifacts in S3 object storages: metadata, upload, download, and addresses for clients. */
import * as v from 'valibot';
import type { StorageContext } from '../context.ts';
import type { ObjectBucket } from '../objects/bucket.ts';
import { formFile } from '../objects/form-file.ts';
import { type ManagerRoute, noContent, ok, parse, receivingRoute, route } from './route.ts';

const PREFIX = '/v1/storages/s3/:storage/buckets/:bucket/object';
/** S3's own limits: bytes of a key, seconds of a signed address. */
const MAX_KEY_BYTES = 1024;
const MAX_EXPIRATION_S = 7 * 24 * 3600;

const bucketParts = { storage: v.string(), bucket: v.string() };
const objectKey = v.pipe(
  v.string(),
  v.minLength(1, 'expected a key that is not empty'),
  v.maxBytes(MAX_KEY_BYTES, `expected at most ${MAX_KEY_BYTES} bytes`),
);
const keyParams = v.object({ ...bucketParts, key: objectKey });
const expiration = v.nullish(
  v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_EXPIRATION_S)),
);

export function objectRoutes({ objects }: StorageContext): ManagerRoute[] {
  const bucketOf = ({ storage, bucket }: { storage: string; bucket: string }): ObjectBucket =>
    objects.bucket(storage, bucket);
  return [
    route('GET', `${PREFIX}/meta`, keyParams, async (params) => {
      const meta = await bucketOf(params).meta(params.key);
      return ok({
        content_length: meta.contentLength,
        content_type: meta.contentType,
        last_modified: meta.lastModified?.toISOString() ?? null,
        etag: meta.etag,
        metadata: meta.metadata,
      });
    }),
    route('DELETE', PREFIX, keyParams, async (params) => {
      await bucketOf(params).remove(params.key);
      return noContent;
    }),
    // The key is in the query, or a field of the form before the file.
    receivingRoute('POST', `${PREFIX}/upload`, async (request, params) => {
      const bucket = bucketOf(parse(v.object(bucketParts), params));
      const { fields, body, mimeType } = await formFile(request);
      const { key } = parse(keyParams, { ...params, ...Object.fromEntries(fields) });
      const type = request.headers['x-content-type'];
      await bucket.upload(key, body, typeof type === 'string' ? type : mimeType);
      return noContent;
    }),
    route('POST', `${PREFIX}/download`, keyParams, async (params) => {
      const { meta, body } = await bucketOf(params).download(params.key);
      return { body, sizeBytes: meta.contentLength };
    }),
    route('POST', `${PREFIX}/presigned/upload`, keyParams, async (params) =>
      ok(bucketOf(params).presignUpload(params.key)),
    ),
    route(
      'POST',
      `${PREFIX}/presigned/download`,
      v.object({ ...keyParams.entries, expiration }),
      async (params) =>
        ok({ url: bucketOf(params).presignDownload(params.key, params.expiration ?? null) }),
    ),
  ];
}
