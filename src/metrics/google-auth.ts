/** What is needed of Google's sign-in library, behind a file of our own: bundled, an import() of CommonJS has no names. Import it on demand, never at the start. */
export { GoogleAuth, JWT } from 'google-auth-library'
