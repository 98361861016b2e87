/** The public interface of the TypeScript SDK. */

export { API_VERSION } from '../common/api-signing.ts';
export type { LoginResult } from './auth.ts';
export { Client } from './client.ts';
export {
  type ClientConfig,
  ConfigError,
  DEFAULT_ENDPOINT,
  effectiveEnvironment,
  isConfigured,
  readClientConfig,
} from './config.ts';
export { ApiError, ConnectionError, SourceError } from './errors.ts';
export type { ServerInfo } from './http.ts';
export type { MonthUsage, PeriodUsage } from './report.ts';
export {
  DOWNLOAD_MAX_FILES,
  UPLOAD_MAX_FILE_BYTES,
  UPLOAD_MAX_FILES,
} from './session.ts';
export type {
  BatchCommands,
  ConsoleRecord,
  CreatedSession,
  DependencyNode,
  ExecuteStart,
  ExecutionSlice,
  FileItem,
  SessionApp,
  SessionMatch,
  SessionMount,
  SessionSpec,
  TemplateOverrides,
} from './session-schemas.ts';
export { SignIns } from './sign-ins.ts';
export type { ServerSentEvent } from './sse.ts';
export type { ExecutionStream } from './stream.ts';
export type { Terminal } from './terminal.ts';
export { relaySocket, relayTunnel } from './tunnel.ts';
