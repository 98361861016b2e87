/** Driver programs are embedded as text: they run inside images that do not hold our files. */
declare module '*.py' {
  const text: string;
  export default text;
}

declare module '*/driver.cjs' {
  const text: string;
  export default text;
}

/** xterm.js goes into the page of the web terminal as it is. */
declare module '@xterm/*' {
  const text: string;
  export default text;
}

declare module '*.client.js' {
  const text: string;
  export default text;
}
