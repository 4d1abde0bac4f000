# Files of a login shell are not for others unless made so.
umask 027
