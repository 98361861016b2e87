/** The page's script is imported as text. */
declare module '*/script.client.js' {
  const text: string;
  export default text;
}
