"""Who somebody is and what policies allow them: identities, the policy language, decisions."""
