/** Bun's WebSocket client. The DOM's typing knows neither its options (headers, TLS) nor its methods. */
export const BunWebSocket = WebSocket as unknown as new (
  url: string | URL,
  options: Bun.WebSocketOptions,
) => Bun.WebSocket;
