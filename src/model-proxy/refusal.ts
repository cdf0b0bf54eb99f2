/** Start of the message for a refused call. The agent repeats it in its own error. */
export const NOT_FORWARDED = 'The server does not forward this call to the model:';
