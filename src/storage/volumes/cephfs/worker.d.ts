/** The worker's program is imported as text. */
declare module '*/attributes.worker.js' {
  const text: string;
  export default text;
}
