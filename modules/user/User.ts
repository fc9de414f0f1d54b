/** What two addresses have in common that belong to one user: upper and lower case make no difference. */
export const emailKey = (email: string): string => email.toLowerCase()
