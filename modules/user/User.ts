/** The key by which e-mail addresses are compared: case is ignored. */
export const emailKey = (email: string): string => email.toLowerCase()
