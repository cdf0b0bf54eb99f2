/** How the answer begins to a call that the server does not forward to the model; the agent's error repeats it. */
export const NOT_FORWARDED = 'The server does not forward this call to the model:';
